// expect: value ["hello","hello","hello","hello","hello","hello","hello","hello"]
const get = async () => await (await fetch("http://LISTED/")).text();
return await Promise.all(Array.from({ length: 8 }, get));

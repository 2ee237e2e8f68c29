// expect: value ["hello",1,"hello"]
const [first, second] = await Promise.all([fetch("http://LISTED/"), host.echo({ n: 1 })]);
await new Promise((done) => setTimeout(done, 50));
const third = await fetch("http://LISTED/");
return [await first.text(), second.n, await third.text()];

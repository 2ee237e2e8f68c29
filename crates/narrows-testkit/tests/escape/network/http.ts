// expect: value ["hello",200,8388608,"5"]
const get = async (path: string) => {
  const answer = await fetch("http://LISTED" + path);
  return [answer.status, await answer.text()] as const;
};
const posted = await fetch("http://LISTED/", { method: "POST", body: "12345" });
const large = await get("/large");
return [(await get("/"))[1], (await get("/"))[0], large[1].length, await posted.text()];

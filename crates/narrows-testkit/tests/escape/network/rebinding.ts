// expect: value [403,true]
const answer = await fetch("http://REBOUND/");
return [answer.status, (await answer.text()).includes("of this machine or of its own network")];

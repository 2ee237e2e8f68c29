// expect: limit wall_ms
// limits: wall_ms=3000
const answer = await fetch("http://LISTED/hang");
return await answer.text();

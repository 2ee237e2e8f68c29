// expect: value 3
const steps = ["fetch", "group", "write"];
for (const [i, step] of steps.entries()) {
  progress((i + 1) / steps.length, step);
  console.log(step, { i, done: i === steps.length - 1, tags: ["x", null, undefined], at: new Map([[step, i]]) });
  await host.echo({ step });
}
console.error(new TypeError("only said"));
return steps.length;

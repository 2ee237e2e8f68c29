// expect: value [1,"ToolError: host.fail",3,"ToolError: host.fail"]
const jobs = [1, 2, 3, 4].map((n) => (n % 2 ? host.echo({ n }) : host.fail({ n })));
const settled = await Promise.allSettled(jobs);
return settled.map((one) =>
  one.status === "fulfilled" ? one.value.n : `${one.reason.name}: ${one.reason.tool}`,
);

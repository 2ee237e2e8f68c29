// expect: value [["fast","middle","slow","micro"],5]
const begun = performance.now();
const order: string[] = [];
const wait = (ms: number, name: string) => new Promise<void>((done) => setTimeout(() => { order.push(name); done(); }, ms));
await Promise.all([wait(5000, "slow"), wait(10, "fast"), wait(1000, "middle")]);
queueMicrotask(() => order.push("micro"));
await null;
return [order, Math.round((performance.now() - begun) / 1000)];

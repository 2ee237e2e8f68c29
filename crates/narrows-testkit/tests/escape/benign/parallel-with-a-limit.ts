// expect: value [0,1,4,9,16,25,36,49,64,81,100,121,144,169,196,225,256,289,324,361]
async function pool<T, R>(items: T[], most: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const out: R[] = []; let next = 0;
  await Promise.all(Array.from({ length: most }, async () => {
    while (next < items.length) { const i = next++; out[i] = await work(items[i]); }
  }));
  return out;
}
return pool([...Array(20).keys()], 4, async (n) => (await host.echo({ n })).n ** 2);

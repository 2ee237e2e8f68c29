// expect: value [0,1,2,3,4,5,6,7,8,9]
async function* pages(size: number) {
  for (let page = 0; ; page++) {
    const { items } = await host.echo({ items: Array.from({ length: page < 3 ? size : 1 }, (_, i) => page * size + i) });
    yield* items;
    if (items.length < size) return;
  }
}
const all: number[] = [];
for await (const item of pages(3)) all.push(item);
return all;

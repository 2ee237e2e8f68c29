// expect: threw Error
scratch.write("out/b.txt", "1");
scratch.write("a.txt", "2");
for (const path of ["out", "../etc/passwd", "nothing.txt"]) {
  try { scratch.read(path); } catch (error) { console.log((error as Error).message); }
}
await scratch.keep("c.txt");

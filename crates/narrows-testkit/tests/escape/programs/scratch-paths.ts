// expect: value 0
let wrong = 0;
for (const path of ["../../etc/passwd", "/etc/passwd", "a/../../b", "\0", "a\0b", "..", "/", "x".repeat(1e7), "../".repeat(1e6), "/scratch/../etc", "\ud800"]) {
  try { scratch.write(path, "x"); wrong++; } catch {}
  try { scratch.read(path); wrong++; } catch {}
}
return wrong + scratch.list().length;

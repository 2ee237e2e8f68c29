// expect: limit disk_bytes
// limits: disk_bytes=10000
Map.prototype.get = () => ({ parts: [], size: -1e9 });
Object.defineProperty(String.prototype, "length", { get: () => 0 });
(globalThis as any).Uint8Array = class {};
for (let i = 0; ; i++) scratch.append("a", "x".repeat(1_000));

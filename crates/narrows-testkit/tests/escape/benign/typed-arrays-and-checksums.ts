// expect: value ["29058c73","400921fb",0.10000000149011612,[1,2]]
const data = new Uint8Array([...Array(256).keys()]);
let crc = ~0;
for (const byte of data) { crc ^= byte; for (let k = 0; k < 8; k++) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1)); }
const view = new DataView(new ArrayBuffer(8));
view.setFloat64(0, Math.PI);
return [(~crc >>> 0).toString(16), view.getUint32(0).toString(16), new Float32Array([0.1])[0], data.subarray(1, 3)];

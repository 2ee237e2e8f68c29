// expect: value {"total":"9007199254870643","shown":["1299.00","90071992547409.93","-2.50"],"power":"1267650600228229401496703205376","hex":"ff"}
const cents = ["129900", "9007199254740993", "-250"].map(BigInt);
const total = cents.reduce((sum, one) => sum + one, 0n);
const show = (n: bigint) => {
  const [sign, abs] = n < 0n ? ["-", -n] : ["", n];
  return `${sign}${abs / 100n}.${String(abs % 100n).padStart(2, "0")}`;
};
return { total, shown: cents.map(show), power: 2n ** 100n, hex: (255n).toString(16) };

// expect: value [true,[1,2,3,4,5],[4,5,6,3,3,5],[4,2,1,3,5]]
const rolls = Array.from({ length: 6 }, () => 1 + Math.floor(Math.random() * 6));
const shuffled = [1, 2, 3, 4, 5];
for (let i = shuffled.length - 1; i > 0; i--) {
  const j = Math.floor(Math.random() * (i + 1));
  [shuffled[i], shuffled[j]] = [shuffled[j], shuffled[i]];
}
return [rolls.every((n) => n >= 1 && n <= 6), shuffled.toSorted(), rolls, shuffled];

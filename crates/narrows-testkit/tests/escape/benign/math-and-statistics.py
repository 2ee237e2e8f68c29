# expect: value [5.0,2.0,4.5,12,-2,2,2,4,true,3.141592653589793,255,"0b1010",3,5]
import math
values = [2, 4, 4, 4, 5, 5, 7, 9]
mean = sum(values) / len(values)
spread = math.sqrt(sum((v - mean) ** 2 for v in values) / len(values))
ordered = sorted(values)
median = (ordered[3] + ordered[4]) / 2
[mean, spread, median, math.gcd(84, 36), math.floor(-1.5), math.ceil(1.2), round(2.5), round(3.5), math.isclose(0.1 + 0.2, 0.3), math.pi, int("ff", 16), bin(10), abs(-3), pow(3, 5, 7)]

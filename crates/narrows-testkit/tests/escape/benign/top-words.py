# expect: value [["the",4],["dog",2],["fox",2],["brown",1],["doesn't",1]]
import re
from collections import Counter
text = "The quick brown fox jumps over the lazy dog. The dog sleeps; the fox doesn't."
counts = Counter(re.findall(r"[a-z']+", text.lower()))
sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:5]

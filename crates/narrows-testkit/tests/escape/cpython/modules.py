# expect: value [42,"2d711642","0.3",1.5]
import csv, decimal, hashlib, io, statistics
rows = list(csv.DictReader(io.StringIO('a,b\n1,42')))
[
    int(rows[0]['b']),
    hashlib.sha256(b'x').hexdigest()[:8],
    decimal.Decimal('0.1') + decimal.Decimal('0.2'),
    statistics.mean([1, 2]),
]

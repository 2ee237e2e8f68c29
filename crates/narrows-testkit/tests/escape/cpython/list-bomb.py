# expect: limit memory_bytes
l=[]
while True: l.append('a'*1000000)

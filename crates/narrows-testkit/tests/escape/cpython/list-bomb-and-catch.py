# expect: limit cpu_ms
# limits: cpu_ms=700
l=[]
while True:
  try: l.append(bytearray(1000000))
  except MemoryError: pass

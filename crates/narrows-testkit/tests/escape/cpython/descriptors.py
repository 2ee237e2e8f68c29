# expect: threw OSError
import os
l=[]
while True: l.append(os.dup(3))

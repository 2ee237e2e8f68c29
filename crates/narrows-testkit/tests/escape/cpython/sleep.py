# expect: value 1
import time
time.sleep(1e9)
1

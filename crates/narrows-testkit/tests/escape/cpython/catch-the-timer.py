# expect: limit cpu_ms
# limits: cpu_ms=300
import signal
signal.signal(signal.SIGPROF,lambda *a:None)
while True: pass

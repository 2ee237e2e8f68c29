# expect: limit cpu_ms
# limits: cpu_ms=300
import signal
signal.setitimer(signal.ITIMER_PROF,0)
while True: pass

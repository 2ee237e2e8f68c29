# expect: limit processes
# limits: processes=3
import threading
gate = threading.Event()
for _ in range(5):
    threading.Thread(target=gate.wait).start()

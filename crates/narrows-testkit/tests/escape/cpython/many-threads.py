# expect: limit processes
import threading
gate = threading.Event()
while True:
    threading.Thread(target=gate.wait).start()

# expect: threw RuntimeError
import threading
threading.Thread(target=print).start()

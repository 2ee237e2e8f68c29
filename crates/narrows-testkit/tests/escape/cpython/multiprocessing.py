# expect: threw PermissionError
import multiprocessing
multiprocessing.Process(target=print).start()

# expect: lost: the worker made a forbidden system call
import resource,os
resource.prlimit(os.getppid(),resource.RLIMIT_AS,(1,1))

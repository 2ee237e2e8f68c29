# expect: lost: the worker made a forbidden system call
import mmap
mmap.mmap(-1,4096,prot=7)

# expect: lost: the worker crashed (signal 11)
import ctypes
ctypes.string_at(0)

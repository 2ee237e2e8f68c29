# expect: threw | rejected | value null
import sys
sys.exit(0)

# expect: threw | limit stack
import json
json.loads('[' * 100_000)

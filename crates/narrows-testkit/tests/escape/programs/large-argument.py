# expect: threw | limit value_bytes | limit memory_bytes
# limits: value_bytes=10000
host.echo(x='a' * 1_000_000)

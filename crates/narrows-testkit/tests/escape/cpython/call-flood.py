# expect: limit calls
# limits: calls=50
while True:
    host.echo(n=1)

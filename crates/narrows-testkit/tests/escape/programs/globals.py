# expect: threw | rejected
(lambda: 0).__globals__

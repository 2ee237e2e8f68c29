# expect: threw | rejected
__import__('os').system('id')

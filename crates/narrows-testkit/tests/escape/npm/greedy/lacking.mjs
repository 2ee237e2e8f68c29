import 'not-there'

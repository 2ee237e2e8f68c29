// expect: value ["own sqlite","own test","own sqlite","own test",true]
import sqlite from 'sqlite'
import { own } from 'test'
import { required, prefixed } from 'greedy/named.cjs'
return [sqlite.own, own, ...required(), prefixed()]

// expect: value {"links":["/a","/b"],"text":"one"}
import { load } from 'cheerio'
const $ = load('<ul><li><a href="/a">one</a><li><a href="/b">two</a></ul>')
return { links: $('a').map((_, a) => $(a).attr('href')).get(), text: $('a').first().text() }

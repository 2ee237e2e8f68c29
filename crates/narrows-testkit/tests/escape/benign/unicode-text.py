# expect: value [["naïve",5,"NAÏVE",6,"evïan",[110,97]],["naïve",6,"NAÏVE",7,"ev̈ian",[110,97]],["👩‍💻",3,"👩‍💻",11,"💻‍👩",[128105,8205]],["日本語",3,"日本語",9,"語本日",[26085,26412]],["ß",1,"SS",2,"ß",[223]]]
words = ["na\u00efve", "nai\u0308ve", "\U0001F469\u200D\U0001F4BB", "\u65e5\u672c\u8a9e", "\u00df"]
return [[w, len(w), w.upper(), len(w.encode("utf-8")), w[::-1], [ord(c) for c in w][:2]] for w in words]

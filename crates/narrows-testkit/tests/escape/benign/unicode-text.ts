// expect: value [["naïve",5,5,5,"NAÏVE","na%C3%AFve"],["naïve",6,6,5,"NAÏVE","nai%CC%88ve"],["👩‍💻",5,3,5,"👩‍💻","%F0%9F%91%A9%E2%80%8D%F0%9F%92%BB"],["日本語",3,3,3,"日本語","%E6%97%A5%E6%9C%AC%E8%AA%9E"],["ß",1,1,1,"SS","%C3%9F"],["İ",2,2,1,"İ","I%CC%87"]]
const words = ["na\u00efve", "nai\u0308ve", "\u{1F469}\u200D\u{1F4BB}", "\u65e5\u672c\u8a9e", "\u00df", "I\u0307"];
return words.map((w) => [w, w.length, [...w].length, w.normalize("NFC").length, w.toUpperCase(), encodeURIComponent(w)]);

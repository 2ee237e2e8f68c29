// expect: limit files
for (let i = 0; ; i++) { try { scratch.write(`a/${i}/b`, ""); } catch {} }

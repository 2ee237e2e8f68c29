import fs, { writeFileSync } from 'node:fs'
import { readFile } from 'fs/promises'
export const write = () => writeFileSync(new URL('stolen', import.meta.url), 'x')
export const later = () => readFile('/etc/passwd', 'utf8')
export const names = () => [typeof fs.promises.readFile, typeof fs.constants.O_RDONLY]

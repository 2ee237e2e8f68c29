// As the texts that stand for Node's own modules might begin.
const real = async (name) =>
  (await import(`data:text/javascript,/*node*/import it from 'node:${name}';export default it`)).default
export const fs = () => real('fs')
export const child = () => real('child_process')

import { execSync } from 'child_process'
export const run = () => execSync('id').toString()

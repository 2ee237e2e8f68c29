// expect: value [true,true,true,"refused","refused","refused","refused","refused","refused",true]
import { Buffer } from 'node:buffer'
import { createSign, sign, constants } from 'node:crypto'
const pem = (body) => `-----BEGIN PRIVATE KEY-----\n${body}\n-----END PRIVATE KEY-----`
// Nobody's keys.
const ec = pem('MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgra/uC4NUP7+ivG8BcaV4XjObKDx6NPu3aVOrsyEYEVKhRANCAARJUVQzpOmzp0JRfTxKMlg28yNjMeqbhDgkXigvA/fb3aulPLsh4O/Yf+YAuDZhU1zYjdUmEi27VyJOrdkW6gL8')
const ed = pem('MC4CAQAwBQYDK2VwBCIEIMWhD6WKPrzWMJddDdmLVPuN+wPJYDk7yhLJMgUkuTlp')
const rsa = pem('MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQC5H2NGIgzwQjQ1g48qc+/TYcOPj5u3kovgEzsxoVpIRC+/T8xG+ofKIdHA73FFoK4ZkgTzo4Uu2DD7Z0nwny5SyVbnsodOCG3Rx0Nhdc1w7s0z8Vz23Ci2MyUfEMZX4Xz24fjfP1WDYy/5PPeHEsC8uYKJRl3s47mQYnh9wQlsLUyIvlm91j/MPgvaoXJ7Jp0GRbbqOAY7h6UGzUz+TV5RZRjFxbvDLjqrchAkSpa6AebfCuHFNaEtMQdJkHAlfUN97MAFb4ulSNA0m+lL0iTr68iwduX1RmbV8Gv1cp8l20+iVeZcQ2pfEr5dtFljuRYDX88LkT6NmNjfFS1vbS5xAgMBAAECggEACr7DqGJ5lciB90k3miM4nHBkRYT0aOdcrxjuqqbO8rriepxLIyOPli/4WNaNIJl/AYT0PKAVLu7liPIp3ImgyrVdEf3O1LywgyipxJJt5kw2JPmxh7Knukulr/PtT1SLSFk9dNfcQtATDMh5JaH1Bf9OkGFBOmrNbpAIpmP6BAlTwZ06lNTS4T5838tpgZ8Pud/A1MNryLOl3t9nwPt1bGZoslk8hKWFuJAFZX2DnyEoDqtpdmDMgH3rebbasSZuPhuxrrMO31EShihGWSZRcgE1bF/pwyEDM/NM5Pg8DPK48Bv96M40HmT/zCb3WAC/715tptTNzO5Ig7EH2kIJsQKBgQDnwDNIB868G2pc5JS26XQR4Pt+CWFwkkuWMGzK+3fLnp7xW/SDVo0+pASBb0e8eLOCyJoHEK31yzUhgWAdcLSg6etUdr3tikO4h/X+ftob+6ureR6FEZ5RfiTNe70E4EvnKOEGpiSdEZWVKJvLhzrGpFI1tXk4fhsahijAg0OjOwKBgQDMfi4vc9k7rYErLGgre5XrLwQM9yn/LOgqqd/tZFWLtXorIYtOo/HZ+IFYf4P9NN8AOtE3L6q9VOZdU73jzKqG0LZUg+BZ1zAJ/17RIbgP6ms5Gv2EfKOekLH9NlX4rYzbxDqXyK/VVpDu/BxbUqliedAnpzlcWpbzPrVFqykCQwKBgQDZ181clBo8r/iXQTaZiXDVrYo5u0+gpaPvla1uUFsXSA9YCXwaSS2UCFFD6fqgq0TyVuaSZZdgSJe02wwiIGNqLvhK+SMnOqTVvNf7Vfpn+3YvRTbvFtSe/dhSX1IaV0yCCeccfOhFzNWy0+0+r+sL9kJgwikkdUW89QcxjzHxKQKBgQCshP999SSeHmDNBafUl20BfybRsWvy5fXwmGRcqLsrJK2u2ZvnepS9qdOlz96Qrhw822JKRqKrHIdE0TNwjeiH2GkaoC+UW+EhbhqWIPZiJwjSopyjO2vmiHhBAahCJlihx8kO6La/K0sW9AcQXIqek9oyuffAnIShLpRL9HyidQKBgB9JAHN9ivi8/TZFUHc1UhTMcIU53rgvQrBfVF9v6xEe5ENiI50S7aBmam7n2Jy6BEu3zzfk93Q4AJ8MdfhphmBm/V5A1MWjDpuB1/dTXgaejOhP1J0WWFRCPP1OdxyFi1iBJGprZwoDyeDOuRBuwYBIhpu2xxUI6G4IAcecLrHu')
const hex = (bytes) => Buffer.from(bytes).toString('hex')
const same = (make) => make() === make()
const refused = async (make) => {
  try { return hex(await make()) } catch (error) { return error.message.includes('its outcome is another each time') ? 'refused' : `${error}` }
}
const data = Buffer.from('a')
const salted = { key: rsa, padding: constants.RSA_PKCS1_PSS_PADDING }
const { subtle } = crypto
const der = Buffer.from(rsa.split('\n').slice(1, -1).join(''), 'base64')
const hash = 'SHA-256'
const pss = await subtle.importKey('pkcs8', der, { name: 'RSA-PSS', hash }, false, ['sign'])
const aes = await subtle.importKey('raw', crypto.getRandomValues(new Uint8Array(16)), 'AES-GCM', false, ['encrypt'])
const sealed = await subtle.encrypt({ name: 'AES-GCM', iv: new Uint8Array(12) }, aes, data)
return [same(() => hex(sign('sha256', data, ec))), same(() => hex(sign(null, data, ed))), same(() => createSign('sha256').update('a').sign(rsa, 'hex')),
  await refused(() => sign('sha256', data, salted)),
  await refused(() => createSign('sha256').update('a').sign(salted)),
  await refused(() => subtle.sign({ name: 'RSA-PSS', saltLength: 32 }, pss, data)),
  await refused(() => subtle.generateKey({ name: 'AES-GCM', length: 128 }, true, ['encrypt'])),
  await refused(() => subtle.encrypt({ name: 'RSA-OAEP' }, pss, data)),
  await refused(() => subtle.wrapKey('raw', aes, pss, 'RSA-OAEP')),
  same(() => hex(sign('sha256', data, { ...salted, saltLength: 0 }))) && sealed.byteLength === 17]

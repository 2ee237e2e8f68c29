// expect: value {"mine":"savings of Ada: 12.5","refused":"RangeError: cannot pay -1","balance":12.5,"opened":1}
abstract class Account {
  #balance = 0;
  static opened = 0;
  constructor(readonly owner: string) { Account.opened++; }
  get balance() { return this.#balance; }
  protected add(n: number) { this.#balance += n; return this; }
  abstract kind(): string;
  toJSON() { return `${this.kind()} of ${this.owner}: ${this.#balance}`; }
}
class Savings extends Account {
  kind() { return "savings"; }
  pay(n: number) { if (n <= 0) throw new RangeError(`cannot pay ${n}`); return this.add(n); }
}
const mine = new Savings("Ada").pay(10).pay(2.5);
let refused = "";
try { mine.pay(-1); } catch (error) { refused = String(error); }
return { mine, refused, balance: mine.balance, opened: Account.opened };

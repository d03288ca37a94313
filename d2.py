exec(open("/tmp/w/jac/try/d.py").read().replace("in cases.items()", "in [(k,cases[k]) for k in ('stell','box')]"))

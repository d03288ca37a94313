import torch
class KroneckerPreconditioner:
    def __init__(s,inputs,deltas,damping,scale):
        s.f=[]; s.sizes=[]
        for a,d in zip(inputs,deltas):
            dt=a.dtype; a=a.double(); d=d.double(); N=len(a); a=torch.cat([a,torch.ones(N,1).to(a)],1)
            A=(a.t()@a)/N; G=(d.t()@d)*scale
            pi=(A.diagonal().mean()/G.diagonal().mean().clamp_min(1e-12)).sqrt(); q=damping**0.5
            e=lambda M: 1e-9*M.diagonal().mean()
            A=A+(pi*q+e(A))*torch.eye(len(A),dtype=A.dtype); G=G+(q/pi+e(G))*torch.eye(len(G),dtype=A.dtype)
            s.f.append((torch.cholesky_inverse(torch.linalg.cholesky(A)).to(dt),torch.cholesky_inverse(torch.linalg.cholesky(G)).to(dt)))
            s.sizes.append((d.shape[1],a.shape[1]-1))
    def __call__(s,v):
        out=[];i=0
        for (o,n),(Ai,Gi) in zip(s.sizes,s.f):
            W=v[i:i+o*n].view(o,n); b=v[i+o*n:i+o*n+o]; i+=o*n+o
            R=Gi@torch.cat([W,b[:,None]],1)@Ai
            out+=[R[:,:-1].reshape(-1),R[:,-1]]
        return torch.cat(out)

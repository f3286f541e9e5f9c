package localstore_test
import ("testing";"os";"fmt";"time";"path/filepath";"golang.org/x/sys/unix")
func TestZZMeasure(t *testing.T){
 base:=os.Getenv("MEASURE"); if base=="" {t.Skip()}
 for _,dirty:=range []int{0,200}{
 for _,n:=range []int{1,4,16,64,256,1024}{
  for _,how:=range []string{"fsync","syncfs"}{
   var best, sum time.Duration
   const rounds=5
   for r:=range rounds{
   root,_:=os.MkdirTemp(base,"m"); 
   d,_:=os.Open(base); unix.Syncfs(int(d.Fd()))
   if dirty>0 { f,_:=os.Create(filepath.Join(root,"dirty")); b:=make([]byte,1<<20); for range dirty {f.Write(b)}; f.Close() }
   top:=filepath.Join(root,"t"); os.Mkdir(top,0o755)
   var fs []string
   for i:=range n { p:=filepath.Join(top,fmt.Sprint(i)); os.WriteFile(p,make([]byte,8192),0o644); fs=append(fs,p)}
   fs=append(fs,top,root)
   s:=time.Now()
   if how=="fsync" { for _,p:=range fs {f,_:=os.Open(p); f.Sync(); f.Close()} } else { unix.Syncfs(int(d.Fd())) }
   e:=time.Since(s); sum+=e; if r==0||e<best{best=e}
   d.Close(); os.RemoveAll(root)
   }
   fmt.Printf("dirty %dMB files %4d %-7s best %v mean %v\n",dirty,n,how,best.Round(10*time.Microsecond),(sum/rounds).Round(10*time.Microsecond))
  }}}
}

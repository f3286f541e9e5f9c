package validity
import ("testing";"os";"strings";"time";"fmt";"context";"troupe/storage/storepath")
func rss() string { b,_:=os.ReadFile("/proc/self/status"); for l := range strings.Lines(string(b)) { if strings.HasPrefix(l,"VmRSS") {return strings.TrimSpace(l)}}; return ""}
func TestFill(t *testing.T){ dir:="/tmp/rssdb"; if os.Getenv("FILL")=="" {t.Skip()}
 os.RemoveAll(dir); db,_:=Open(dir,Options{}); var paths []storepath.Path
 for n := range 100000 { i:=info(fmt.Sprint("p", n)); for r := n - 1; r >= max(0, n-50); r -= 5 { i.References = append(i.References, paths[r]) }; paths=append(paths,i.Path); must(t,db.RegisterProvisional(reg(i))); if n%5000==4999 {must(t,db.Commit(context.Background(),paths[n-4999:]...))}}
 must(t,db.Close()) }
func TestRSS(t *testing.T){ if os.Getenv("RSS")=="" {t.Skip()}
 fmt.Println("before",rss()); for range 5 { s:=time.Now(); db,err:=Open("/tmp/rssdb",Options{}); must(t,err); fmt.Println("open",time.Since(s),rss()); 
 s=time.Now(); n:=0; for _,err := range db.All() { must(t,err); n++ }; fmt.Println("all",n,time.Since(s),rss())
 s=time.Now(); paths:=make([]storepath.Path,0); for n:=range 100000 { paths=append(paths,named(fmt.Sprint("p",n)))}; fmt.Println("names",time.Since(s)); s=time.Now(); k:=0; for range db.Closure(paths[9999]) {k++}; fmt.Println("closure",k,time.Since(s)); s=time.Now(); k=0; for range db.Closure(paths[99999]) {k++}; fmt.Println("closure",k,time.Since(s),rss());  s=time.Now(); must(t,db.Unregister(paths[99000:]...)); fmt.Println("unregister 1000",time.Since(s));  must(t,db.RegisterProvisional()) ; db.Close() } }

def table(results):
    import statistics
    out=[]
    for s,v in results["scenarios"].items():
        out.append(s+f" others {v.get('others_cpu_share')}")
        for n,e in v["contestants"].items():
            if "rounds" in e:
                ks=e["rounds"][0].keys() if e["rounds"] else []
                out.append(f"{n:14}"+"  ".join(f"{k} {statistics.median(r[k] for r in e['rounds']):.1f}" for k in ks if e["rounds"][0][k] is not None)+f" rss {e.get('rss_bytes',0)>>10}")
            else: out.append(f"{n:14}{e}")
    return "\n".join(out)
def page(results): return table(results)

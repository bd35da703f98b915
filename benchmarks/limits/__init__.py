"""Do several replicas keep to one quota, and what does it cost to ask?"""
